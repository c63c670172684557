"""From files to tables: results, journals and others' results become frames."""
