"""Machines that are processes on this computer: a folder, a real sshd, and what enrolment starts there.

addresses.py   which 127.x.y.z a node gets, without collisions
placing.py     a machine's place: adopted or new; whether it is there, whether its sshd answers
cloud_config.py what of the user-data a process can honour, as files below the machine's folder
script.py      what runs as the node's own account: boot, look, stop, remove (standard library only)
machine.py     the provider's side: runs the script as that account
"""
