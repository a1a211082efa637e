"""What `pulumi up` runs: declares the fleets of the selected stack."""

from components.program import main

main()
