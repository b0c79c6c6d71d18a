"""A data-curation and dataset-quality pipeline for skin images: `ls pipeline/` is the DAG."""
