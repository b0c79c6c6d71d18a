"""The DAG: one package a stage."""
