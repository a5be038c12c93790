"""NACHA files: 94 characters a record, read whole and checked, written whole with totals of our own.

`read` refuses a broken file by one NachaError and gives a File else; `examine` tells all that is wrong, and what is
unusual though nothing is in doubt; `write` gives the text. What `read` accepts, `write` gives back letter by letter,
save for what `lines` forgives: line ends, trailing blanks, missing filler, empty lines at the end.
"""

from bursar.providers.ach.nacha.findings import Finding as Finding
from bursar.providers.ach.nacha.findings import NachaError as NachaError
from bursar.providers.ach.nacha.model import Batch as Batch
from bursar.providers.ach.nacha.model import File as File
from bursar.providers.ach.nacha.model import Totals as Totals
from bursar.providers.ach.nacha.reader import Reading as Reading
from bursar.providers.ach.nacha.reader import examine as examine
from bursar.providers.ach.nacha.reader import read as read
from bursar.providers.ach.nacha.writer import write as write
