"""Commands around the DAG."""
