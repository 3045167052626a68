"""What is true: tables, migrations, the one way to write. Plain `def`, peewee and SQLite; imports nothing of ours."""
