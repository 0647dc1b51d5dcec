"""The store's tables, as numbered migrations: a store is brought from any older version to the newest.

Times are epoch milliseconds as they are in the topics, so that no time zone can move a row.
"""

VERSIONS = "CREATE TABLE IF NOT EXISTS migrations (version UInt32) ENGINE = ReplacingMergeTree ORDER BY version"

DAY = 86_400_000
_WINDOW = "window_start UInt64, window_end UInt64"
_ORIGIN = "topic LowCardinality(String), partition UInt32, `offset` UInt64, published UInt64"
# Synchronised to disk, so that a position is never kept longer than the rows it stands for.
_DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"
_BOOKED = "window_start, version, raw, counted, duplicate, late, invalid"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # The version fence: of rows with one key the highest version counts, of equal versions the last inserted.
        # Small granules and blocks, and an index of the ads in each, because an ad's last hour is one row in each of
        # sixty places. The index is of a part of the key, so it can hide no version of a row from the others.
        f"""CREATE TABLE counts ({_WINDOW}, ad_id String, clicks UInt64, version UInt64, source LowCardinality(String),
            INDEX ads ad_id TYPE bloom_filter(0.01) GRANULARITY 1)
            ENGINE = ReplacingMergeTree(version) PARTITION BY intDiv(window_start, {DAY})
            ORDER BY (window_start, ad_id)
            SETTINGS index_granularity = 1024, min_compress_block_size = 16384, max_compress_block_size = 65536,
            {_DURABLE}""",
        f"""CREATE TABLE top ({_WINDOW}, rank UInt32, ad_id String, clicks UInt64)
            ENGINE = ReplacingMergeTree ORDER BY (window_start, rank) SETTINGS {_DURABLE}""",
        f"""CREATE TABLE ledger ({_WINDOW}, raw UInt64, counted UInt64, duplicate UInt64, late UInt64, invalid UInt64,
            version UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY window_start SETTINGS {_DURABLE}""",
        # A row for each late and invalid click, known by its origin, so that one loaded twice is one.
        f"""CREATE TABLE late (window_start UInt64, ad_id String, {_ORIGIN})
            ENGINE = ReplacingMergeTree ORDER BY (window_start, ad_id, topic, partition, `offset`)
            SETTINGS {_DURABLE}""",
        f"""CREATE TABLE invalid (window_start UInt64, reason LowCardinality(String), {_ORIGIN})
            ENGINE = ReplacingMergeTree ORDER BY (window_start, reason, topic, partition, `offset`)
            SETTINGS {_DURABLE}""",
        f"""CREATE TABLE reconciliations (version UInt64, `from` UInt64, `to` UInt64, verdict LowCardinality(String),
            windows UInt64, corrections UInt64, late UInt64, expired_duplicate UInt64, unexplained UInt64,
            published UInt64)
            ENGINE = ReplacingMergeTree(published) ORDER BY (version, `from`, `to`) SETTINGS {_DURABLE}""",
        # How far each topic is loaded; topic_id tells a topic from another of the same name.
        f"""CREATE TABLE positions (topic String, topic_id String, partition UInt32, position UInt64)
            ENGINE = ReplacingMergeTree(position) ORDER BY (topic, topic_id, partition) SETTINGS {_DURABLE}""",
        # Each window's total, added up anew when a count of it has come since.
        f"""CREATE TABLE sums (window_start UInt64, clicks UInt64, ads UInt64, summed_at DateTime64(6))
            ENGINE = ReplacingMergeTree(summed_at) ORDER BY window_start SETTINGS {_DURABLE}""",
        f"""CREATE TABLE touched (window_start UInt64, touched_at DateTime64(6))
            ENGINE = ReplacingMergeTree(touched_at) ORDER BY window_start SETTINGS {_DURABLE}""",
        """CREATE MATERIALIZED VIEW counts_touched TO touched AS
            SELECT window_start, now64(6) AS touched_at FROM counts GROUP BY window_start""",
    ),
    # All that decides a window's verdict in one table, because a question costs milliseconds for each table it reads.
    # Of `counts` the version is when the newest of them came, of `sum` when they were added up, in microseconds.
    (
        f"""CREATE TABLE windows (window_start UInt64,
            about Enum8('counts' = 1, 'sum' = 2, 'ledger' = 3, 'ranking' = 4), version UInt64,
            clicks UInt64, ads UInt64, raw UInt64, counted UInt64, duplicate UInt64, late UInt64, invalid UInt64)
            ENGINE = ReplacingMergeTree(version) ORDER BY (window_start, about) SETTINGS {_DURABLE}""",
        """CREATE MATERIALIZED VIEW windows_of_counts TO windows AS
            SELECT window_start, 'counts' AS about, toUnixTimestamp64Micro(now64(6)) AS version
            FROM counts GROUP BY window_start""",
        f"CREATE MATERIALIZED VIEW windows_of_ledger TO windows AS SELECT 'ledger' AS about, {_BOOKED} FROM ledger",
        """CREATE MATERIALIZED VIEW windows_of_top TO windows AS
            SELECT window_start, 'ranking' AS about FROM top WHERE rank = 1""",
        """INSERT INTO windows (window_start, about, version)
            SELECT window_start, 'counts', toUnixTimestamp64Micro(touched_at) FROM touched FINAL""",
        """INSERT INTO windows (window_start, about, version, clicks, ads)
            SELECT window_start, 'sum', toUnixTimestamp64Micro(summed_at), clicks, ads FROM sums FINAL""",
        f"INSERT INTO windows (about, {_BOOKED}) SELECT 'ledger', {_BOOKED} FROM ledger FINAL",
        "INSERT INTO windows (window_start, about) SELECT window_start, 'ranking' FROM top FINAL WHERE rank = 1",
    ),
    ("DROP TABLE IF EXISTS counts_touched", "DROP TABLE IF EXISTS touched", "DROP TABLE IF EXISTS sums"),
)

EXPIRING = {
    "counts": "window_start",
    "top": "window_start",
    "ledger": "window_start",
    "windows": "window_start",
    "late": "published",
    "invalid": "published",
}
"""The tables whose rows expire, and the column that holds their age."""


def ttl(column: str, days: int) -> str:
    """Return the TTL expression of a table; a time beyond what DateTime holds stays the last one it does."""
    return f"toDateTime(least(intDiv({column}, 1000) + {days * 86_400}, 4294967295), 'UTC')"
