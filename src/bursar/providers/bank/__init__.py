"""What the bank rails share: entries that wait for a file, the files that go out and come in, and what banks say of an
entry days later. A rail is a `Scheme`: its days, its format, its rules (`ach.scheme`, `sepa.adapter`).

`model` is pure, `store` has the only SQL, `clerk` answers requests, `courier` exchanges files, `folder` is the disk.
"""
