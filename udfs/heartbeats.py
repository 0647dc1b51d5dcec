"""Heartbeats: how a quiet partition says that time goes on.

A heartbeat is a record of the clicks topic with the key `HEARTBEAT_KEY` and a null value; its event time is its record
timestamp. It moves its partition's watermark as a click of that time would, and is no click: no count and no term of
the ledger has it.
"""

HEARTBEAT_KEY = b"clickproof.heartbeat"
