"""What every stage shares: tables, shards, locks, workers. Knows no stage and never imports torch."""
