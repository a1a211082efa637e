"""The judge: `python -m tasks.review` reads what was gathered from stdin and answers on stdout.

It runs from a checkout of the base commit where that has one, and asks the policy pack beside it: what is reviewed
edits neither its rules nor the words in which they are told.
"""

import json
import pathlib
import sys

from components.errors import GaxxError
from tasks.review.judge import judge

if __name__ == "__main__":
    try:
        answer = judge(json.load(sys.stdin), pathlib.Path(__file__).resolve().parents[2])
    except (GaxxError, ValueError) as error:
        sys.exit(f"{error}")
    json.dump(answer, sys.stdout, ensure_ascii=False)
