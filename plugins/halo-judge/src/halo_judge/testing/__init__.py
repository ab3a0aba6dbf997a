"""What judges that ask an endpoint are tested with: a chat server that fails as planned."""

from __future__ import annotations

from halo_judge.testing.chat_server import FAULTS, ChatReply, ChatServer, planned_faults

__all__ = ["FAULTS", "ChatReply", "ChatServer", "planned_faults"]
