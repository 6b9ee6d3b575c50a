"""Folders made for outputs, by many at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from ffrtmp.storage.handles import HeldFolder, hold_folder

AT_ONCE = 4
ROUNDS = 50


def test_a_new_folder_may_be_wanted_by_many_at_once(tmp_path: Path) -> None:
    """Each holds it, and each folder was made by one of them."""
    start = Barrier(AT_ONCE)

    def hold(number: int) -> HeldFolder:
        start.wait(10)
        return hold_folder(tmp_path / f"day{number}" / "shows", make=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for number in range(ROUNDS):
            held = list(pool.map(hold, [number] * AT_ONCE))
            made = [folder for each in held for folder in each.made]
            assert sorted(made) == [tmp_path / f"day{number}", tmp_path / f"day{number}" / "shows"]
            for each in held:
                each.handle.close()
