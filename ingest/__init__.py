"""What writes into the clicks topic: the producer of files, and the heartbeats of quiet partitions."""
