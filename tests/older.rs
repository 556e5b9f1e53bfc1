//! Ledgers as older versions left them.

use std::path::Path;

use rusqlite::Connection;

use crate::support::project;

/// Writes to `older` what the first version would have had of a ledger: its own schema, and all of what
/// this one holds that fits into it.
pub fn as_the_first_version_left_it(ledger: &Path, older: &Path) {
    let newer = older.with_extension("newer");
    let source = Connection::open(ledger).unwrap();
    source
        .execute("VACUUM INTO ?1", [newer.to_str().unwrap()])
        .unwrap();
    drop(source);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", older.display()));
    }
    let first = std::fs::read_to_string(project("src/ledger/sqlite/0001_begin.sql")).unwrap();
    let conn = Connection::open(older).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(&first).unwrap();
    conn.execute("ATTACH ?1 AS newer", [newer.to_str().unwrap()])
        .unwrap();
    for table in names(
        &conn,
        "SELECT name FROM main.sqlite_schema WHERE type = 'table'",
    ) {
        let columns = names(
            &conn,
            &format!("SELECT name FROM pragma_table_info('{table}', 'main')"),
        )
        .join(", ");
        conn.execute_batch(&format!(
            "INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}"
        ))
        .unwrap();
    }
    conn.execute("DELETE FROM meta WHERE key = 'told_up_to'", [])
        .unwrap();
    // What only looks at a period's end waited for a tick then.
    conn.execute(
        "UPDATE requests SET lane = 0 WHERE lane = 1 AND due_at IS NULL",
        [],
    )
    .unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
    drop(conn);
    std::fs::remove_file(newer).unwrap();
}

fn names(conn: &Connection, sql: &str) -> Vec<String> {
    let mut names = conn.prepare(sql).unwrap();
    let names = names.query_map([], |row| row.get(0)).unwrap();
    names.collect::<rusqlite::Result<_>>().unwrap()
}
