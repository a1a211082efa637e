"""Reviews and updates by continuous integration: what `gaxx init --ci github` writes, and the programs that it calls.

written     the workflow files for a project (github/*.yml are the templates)
review      python -m tasks.ci.review    reviews a pull request; comment to the job's output and summary
comment     python -m tasks.ci.comment   writes or renews the comment on the pull request
operator    python -m tasks.ci.operator  CI's own operator key: from a secret into a private folder
"""
