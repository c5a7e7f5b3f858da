"""The assembler's half of the database: series and their choice, studies that end without a result."""
