"""``manage.py backup`` and ``manage.py restore``: all that PostgreSQL holds, into a folder of its own and back.

``making`` writes a backup, ``manifest`` says what is in it and whether it is whole, ``contents`` tells two databases
apart, ``databases`` makes and swaps them, ``postgres_tools`` finds and runs pg_dump and pg_restore, ``restoring`` puts
it all back, ``endings`` keeps closed what was closed since, and ``errors`` says what stands in the way. docs/backup.md
is the operator's page.
"""
