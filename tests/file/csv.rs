//! CSV includes: a row is an item, and every rule tells its place.

use lapsed::desired::{Manifest, Problem};

use super::{HEAD, read_all};

fn read(csv: &str) -> Result<Manifest, Vec<Problem>> {
    let main = format!("{HEAD}include: [\"b/*.csv\"]\ncancellations: []\n");
    read_all(&[("lapsed.yaml", &main), ("b/a.csv", csv)])
}

#[test]
fn a_row_is_an_item_with_labels_and_expectations() {
    let csv = "\u{feff}id,provider,when,reason,labels.ticket,expect.customer,again\r\n\
               0123,donations,2026-12-31,\"Moved, he said \"\"bye\"\"\",OPS-1,cus_17,\r\n\
               \r\n\
               1e5,donations,now,ends,,,2\r\n";
    let manifest = read(csv).unwrap();
    let [a, b] = &manifest.wanted[..] else {
        panic!("{:?}", manifest.wanted);
    };
    assert_eq!(a.key.id.as_str(), "0123");
    assert_eq!(a.terms.when_text, "2026-12-31");
    let reason = a.terms.reason.as_ref().unwrap();
    assert_eq!(reason.value, "Moved, he said \"bye\"");
    assert_eq!(reason.from.to_string(), "item");
    assert_eq!(a.terms.labels.get("ticket"), Some("OPS-1"));
    assert_eq!(a.terms.expect.values().collect::<Vec<_>>(), ["cus_17"]);
    assert_eq!((a.place.file.as_str(), a.place.line), ("b/a.csv", 2));
    assert_eq!(b.key.id.as_str(), "1e5");
    assert_eq!(b.key.again, 2);
    assert!(b.terms.labels.is_empty(), "an empty cell is no value");
    assert_eq!((b.place.line, b.place.last_line), (4, 4));
}

#[test]
fn what_breaks_a_rule_is_told_at_its_cell() {
    let cases = [
        ("", "1:1 empty_file", "first line names the columns"),
        ("id,wen\na,now\n", "1:4 unknown_key", "did you mean `when`?"),
        ("id,labels.\na,x\n", "1:4 unknown_key", "labels.NAME"),
        ("id,when,id\na,now,b\n", "1:9 duplicate_key", "comes twice"),
        (
            "provider,when\ndonations,now\n",
            "1:1 missing",
            "no column is named `id`",
        ),
        ("id,provider,when\na,donations\n", "2:1 csv_row", "2 cells"),
        (
            "id,provider,when\na,donations,now,x\n",
            "2:1 csv_row",
            "4 cells",
        ),
        (
            "id,provider,when\nb,donations,now\na,donations,no",
            "3:13 csv_cut",
            "cut short",
        ),
        (
            "id,provider,when\na,donations,\"now\n",
            "2:13 csv_quote",
            "quote",
        ),
        (
            "id,provider,when\na,donations,\"now\"x\n",
            "2:13 csv_quote",
            "quote",
        ),
        (
            "id,provider,when\na,donations,n\"ow\n",
            "2:13 csv_quote",
            "quote",
        ),
        (
            "id,provider,when\na,donatons,now\n",
            "2:3 unknown_provider",
            "did you mean `donations`?",
        ),
        (
            "id,provider,when\na,donations,2026-02-30\n",
            "2:13 when",
            "does not exist",
        ),
        ("id,provider,when\n a,donations,now\n", "2:1 id", "is no id"),
        (
            "id,provider,when\nmüß,donations,now\n",
            "2:1 id",
            "is no id",
        ),
        (
            "id,provider,when\na,donations,now\na,donations,now\n",
            "3:1 duplicate",
            "asked for twice",
        ),
        (
            "id,provider,when,expect.offer\na,donations,now,7\n",
            "2:17",
            "offer",
        ),
    ];
    for (csv, begins, says) in cases {
        let problems = read(csv).expect_err(csv);
        let told: Vec<String> = problems
            .iter()
            .map(|it| format!("{}:{} {} {}", it.line, it.column, it.code, it.message))
            .collect();
        assert!(problems.iter().all(|it| it.file == "b/a.csv"), "{told:?}");
        assert!(
            matches!(&told[..], [one] if one.starts_with(begins) && one.contains(says)),
            "{csv:?}: {told:#?}"
        );
    }
}

#[test]
fn no_prefix_of_a_file_is_taken_for_a_file_with_other_ids() {
    let csv = "id,provider,when\nabc,donations,now\n\"d,e\",donations,now\n";
    let whole: Vec<&str> = vec!["abc", "d,e"];
    for end in 0..csv.len() {
        let Ok(manifest) = read(&csv[..end]) else {
            continue;
        };
        for wanted in &manifest.wanted {
            assert!(whole.contains(&wanted.key.id.as_str()), "{:?}", &csv[..end]);
        }
    }
}

#[test]
fn no_prefix_of_a_file_asks_for_something_on_other_terms() {
    let main = format!(
        "{HEAD}policies: [{{name: all, set: {{when: now}}}}]\ninclude: [\"b/*.csv\"]\ncancellations: []\n"
    );
    let csv = "id,provider,when,expect.customer\na,donations,2026-12-31,cus_1\nb,donations,2026-12-31,cus_1\n";
    for end in 0..csv.len() {
        let cut = &csv[..end];
        let Ok(manifest) = read_all(&[("lapsed.yaml", &main), ("b/a.csv", cut)]) else {
            continue;
        };
        for wanted in &manifest.wanted {
            assert_eq!(wanted.terms.when_text, "2026-12-31", "{cut:?}");
            assert_eq!(wanted.terms.expect.len(), 1, "{cut:?}");
        }
    }
}

#[test]
fn a_quote_within_a_cell_is_written_twice_wherever_it_stands() {
    for cell in ["\"a\"b\"\"", "\"\"a\"\"", "\"a\"\"\"b\""] {
        let csv = format!("id,provider,when,reason\na,donations,now,{cell}\n");
        let problems = read(&csv).expect_err(cell);
        assert_eq!(problems[0].code, "csv_quote", "{cell}");
    }
}

#[test]
fn a_file_that_is_not_utf_8_is_refused() {
    let main = format!("{HEAD}include: [\"b/*.csv\"]\ncancellations: []\n");
    let files = vec![
        lapsed::desired::FileText {
            name: "lapsed.yaml",
            bytes: main.as_bytes(),
        },
        lapsed::desired::FileText {
            name: "b/a.csv",
            bytes: b"id,provider,when\n\xff\xfe,donations,now\n",
        },
    ];
    let problems = lapsed::desired::read(&lapsed::desired::Input {
        files,
        ..lapsed::desired::Input::default()
    })
    .unwrap_err();
    assert_eq!(problems[0].code, "encoding");
}
