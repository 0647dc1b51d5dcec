"""The whole system on one machine, without Docker: broker, cluster, generator, commands."""
