"""A second opinion of the services, to run programs against without a key, a network or a bill."""

from aimlvideo.sandbox.acceptance import accepts
from aimlvideo.sandbox.behaviour import Behaviour
from aimlvideo.sandbox.server import Sandbox

__all__ = ["Behaviour", "Sandbox", "accepts"]
