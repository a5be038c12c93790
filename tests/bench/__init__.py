"""The benchmark: Bursar as shipped beside what else one would run, on one machine in one go. See `script/bench --help`.

Machines are noisy, and a figure of one run says nothing about another: only the ratios inside a run count. So all of it
runs interleaved, in several rounds, on one PostgreSQL server, each contender in a database of its own with the same
tables and the same rows to begin with.
"""
