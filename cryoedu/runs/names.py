"""What the files of a run are called.

OUTPUT/run_job.json         the command line, versions and machine of each start
OUTPUT/run_history.csv      a row for each iteration: log-likelihood, resolution, class weights, changes, time, memory
OUTPUT/run_status.json      whether it is going on, and which process it is (status.py)
OUTPUT/run_checkpoint.npz   the state after the last iteration, which ``--resume`` goes on from
OUTPUT/run_report.html      what came out, and how it got there
OUTPUT/run_log.txt          what a run says that was started in the background
OUTPUT/run_itNNN_*          maps, models and particles, as RELION writes them; run_* too, from two halves at the end
"""

from __future__ import annotations

import re
from pathlib import Path

JOB, HISTORY, STATUS, CHECKPOINT = "run_job.json", "run_history.csv", "run_status.json", "run_checkpoint.npz"
REPORT, LOG = "run_report.html", "run_log.txt"
OUTPUT = re.compile(r"run_(it\d{3,}_\w+|data|model|(half[12]_)?class\d{3}(_unfil)?)\.(star|mrcs?)")


def outputs_of(path: Path) -> list[Path]:
    """Files in the folder that the iterations of a run wrote."""
    return [file for file in path.iterdir() if OUTPUT.fullmatch(file.name)]
