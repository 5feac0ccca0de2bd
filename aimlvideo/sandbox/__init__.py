"""A second opinion of the services, to run programs against without a key, a network or a bill."""

from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.server import Sandbox, sandbox_in_thread
from aimlvideo.sandbox.validation import accepts

__all__ = ["Behaviour", "Sandbox", "accepts", "sandbox_in_thread"]
