"""The mark of a job list in the folder or store of its clips: all workers save into the same place, or are refused."""

from __future__ import annotations

from uuid import uuid4

import anyio

from aimlvideo.errors import SettingsError
from aimlvideo.shell.files.object_stores import ClipStore
from aimlvideo.shell.journal.postgres_connection import Connection

TOKEN = ".aimlvideo-list"
CLAIM = "UPDATE aimlvideo_account SET output_token = coalesce(output_token, %s) RETURNING output_token"
TRIES, PAUSE = 20, 0.1
"""How long a worker that starts at the same moment may take to write the token, and a shared folder to show it."""


async def check_output(connection: Connection, store: ClipStore) -> None:
    """Return where this store is the one that the list's clips go to. Raises SettingsError where it is another.

    The first worker decides: its folder's token is written into the database, once for all.
    """
    token = await store.read_text(TOKEN)
    new = token is None
    if token is None:
        token = str(uuid4())
        await store.write_text(TOKEN, token)
        # Another worker of the same folder may have been faster.
        token = await store.read_text(TOKEN) or token
    row = await (await connection.execute(CLAIM, (token,))).fetchone()
    expected = str(row[0]) if row else token
    if expected == token:
        return
    for _ in range(TRIES if new else 1):
        if await store.read_text(TOKEN) == expected:
            return
        await anyio.sleep(PAUSE)
    if new:
        await store.remove(TOKEN)
    raise SettingsError(
        f"{store} is not where the clips of this job list go: expected the token {expected} in {TOKEN} there. Give the "
        f"output of the other workers, or, where the clips have moved, copy {TOKEN} to the new place"
    )
