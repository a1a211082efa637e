"""Machines that want the same image at once share one search for it: one download, and one failure."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

from components.qemu_machine import images

Say = Callable[[str], Awaitable[None]]


@dataclasses.dataclass(slots=True)
class _Search:
    task: asyncio.Task[images.Image]
    watchers: list[Say]


class ImageSearches:
    """The searches that go on, by image."""

    def __init__(self) -> None:
        self._going: dict[str, _Search] = {}

    async def find(self, image: str, say: Say) -> images.Image:
        """Find it as `images.find` does, joining a search that goes on already; `say` hears of the progress."""
        search = self._going.get(image)
        if search is None:
            watchers: list[Say] = []
            search = _Search(asyncio.create_task(_find(image, watchers)), watchers)
            self._going[image] = search
            search.task.add_done_callback(lambda task: self._ended(image, task))
        search.watchers.append(say)
        # One who gives up does not take it from the others.
        return await asyncio.shield(search.task)

    def _ended(self, image: str, task: asyncio.Task[images.Image]) -> None:
        del self._going[image]
        if not task.cancelled():
            # Where all have given up nobody else asks for it, and asyncio would complain.
            task.exception()


async def _find(image: str, watchers: list[Say]) -> images.Image:
    loop = asyncio.get_running_loop()

    def say(words: str) -> None:
        for watcher in watchers:
            asyncio.run_coroutine_threadsafe(_heard(watcher, words), loop)

    return await asyncio.to_thread(images.find, image, say)


async def _heard(watcher: Say, words: str) -> None:
    await watcher(words)
