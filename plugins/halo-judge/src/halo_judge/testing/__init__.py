"""A chat server with planned failures, for tests of judges that ask an endpoint."""

from __future__ import annotations

from halo_judge.testing.chat_server import FAULTS, ChatReply, ChatServer, planned_faults

__all__ = ["FAULTS", "ChatReply", "ChatServer", "planned_faults"]
