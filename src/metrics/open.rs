//! Writes gathered metrics as OpenMetrics 1.0, which the `prometheus` crate does not.
//!
//! It differs from Prometheus' own text in little: a counter's family goes without `_total`, numbers
//! that are bounds are floating point, and the end is marked, so that a cut answer is noticed.

use std::fmt::Write as _;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

/// Everything that was gathered, to the end mark.
pub(super) fn encode(families: &[MetricFamily]) -> String {
    let mut text = String::new();
    for family in families {
        // Writing to a `String` cannot fail.
        let _ = write_family(&mut text, family);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(to: &mut String, family: &MetricFamily) -> std::fmt::Result {
    let full = family.name();
    let (name, kind) = match family.get_field_type() {
        MetricType::COUNTER => (full.strip_suffix("_total").unwrap_or(full), "counter"),
        MetricType::GAUGE => (full, "gauge"),
        MetricType::HISTOGRAM => (full, "histogram"),
        MetricType::SUMMARY | MetricType::UNTYPED => (full, "unknown"),
    };
    writeln!(to, "# TYPE {name} {kind}")?;
    writeln!(to, "# HELP {name} {}", escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        match family.get_field_type() {
            MetricType::COUNTER => {
                let value = metric.get_counter().get_value();
                sample(to, &format!("{name}_total"), labels, None, value)?;
            }
            MetricType::HISTOGRAM => histogram(to, name, metric)?,
            _ => sample(to, name, labels, None, metric.get_gauge().get_value())?,
        }
    }
    Ok(())
}

fn histogram(to: &mut String, name: &str, metric: &Metric) -> std::fmt::Result {
    let labels = metric.get_label();
    let histogram = metric.get_histogram();
    let bucket = format!("{name}_bucket");
    for it in histogram.get_bucket() {
        let bound = number(it.upper_bound());
        sample(
            to,
            &bucket,
            labels,
            Some(&bound),
            it.cumulative_count() as f64,
        )?;
    }
    let count = histogram.get_sample_count() as f64;
    sample(to, &bucket, labels, Some("+Inf"), count)?;
    sample(to, &format!("{name}_count"), labels, None, count)?;
    sample(
        to,
        &format!("{name}_sum"),
        labels,
        None,
        histogram.get_sample_sum(),
    )
}

fn sample(
    to: &mut String,
    name: &str,
    labels: &[LabelPair],
    bound: Option<&str>,
    value: f64,
) -> std::fmt::Result {
    to.push_str(name);
    let own = labels.iter().map(|it| (it.name(), it.value()));
    let mut before = '{';
    for (label, value) in own.chain(bound.map(|bound| ("le", bound))) {
        write!(to, "{before}{label}=\"{}\"", escaped(value))?;
        before = ',';
    }
    if before == ',' {
        to.push('}');
    }
    writeln!(to, " {}", number(value))
}

/// With a point, as a bound must have one; the shortest that means the same.
fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value if value.is_nan() => "NaN".to_owned(),
        value => format!("{value:?}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}
