"""`ffrtmp config`: settings that suit this machine, and what monitoring needs."""

import os
from importlib import resources

from ffrtmp.cli.shown import show_size
from ffrtmp.config import config_file
from ffrtmp.config.room import recommended_slots, usable_cores, usable_memory


def recommend() -> None:
    cores, memory = usable_cores(), usable_memory()
    slots = recommended_slots(cores, memory)
    print(f"# For {cores:g} cores and {show_size(memory)} of memory on {os.uname().nodename}.")
    print(f"# Keep it as {config_file()}")
    print()
    print("[worker]")
    print("# One attempt for every two cores and 2 GiB: an encoder uses more than one core.")
    print(f"slots = {slots}")
    print()
    print("[up]")
    print("# One worker is enough on one machine; more only to try out what happens when one dies.")
    print("workers = 1")
    print(f"slots = {slots}")


def alerts() -> None:
    print(_packaged("alerts.yml"), end="")


def dashboard() -> None:
    print(_packaged("dashboard.json"), end="")


def _packaged(name: str) -> str:
    return (resources.files("ffrtmp.telemetry") / name).read_text()
