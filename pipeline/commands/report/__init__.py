"""The report of a run: `reports/index.html`, its pictures and what draws its plots."""
