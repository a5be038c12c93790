"""What Bursar is measured against: the ordinary stack over HTTP, and pgbench with the same SQL and no application.

`test_bench.py` holds the comparison fair: for one checkout every contender leaves the same number of rows in each
table, of nearly the same size.
"""
