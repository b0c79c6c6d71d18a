"""Not a stage: the curated dataset in the FiftyOne App. Only this package imports fiftyone."""
