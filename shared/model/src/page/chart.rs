//! The charts of the metrics over the versions, as inline SVG.

use maud::{Markup, html};

use super::line;
use crate::evidence::{Evidence, number};
use crate::metrics::Metrics;

/// How many metrics have a chart.
const CHARTS_MAX: usize = 8;
/// How many versions a chart shows.
const POINTS_MAX: usize = 20;

/// A chart per metric of the version over those versions that have it, where these are at least two.
pub(super) fn charts_section(evidence: &Evidence, history: &[(u32, Metrics)]) -> Markup {
    let mut versions: std::collections::BTreeMap<u32, &Metrics> =
        history.iter().map(|(version, m)| (*version, m)).collect();
    if let Some(champion) = &evidence.champion {
        versions.entry(champion.version).or_insert(&champion.metrics);
    }
    versions.insert(evidence.version(), &evidence.metrics);
    let mut charts: Vec<(&str, Vec<(u32, f64)>)> = Vec::new();
    for (name, _) in evidence.metrics.iter() {
        let points = versions
            .iter()
            .filter_map(|(version, metrics)| Some((*version, metrics.get(name)?)));
        let points: Vec<_> = points.collect();
        let last = points.len().saturating_sub(POINTS_MAX);
        let points = points.into_iter().skip(last).collect::<Vec<_>>();
        if points.len() >= 2 && charts.len() < CHARTS_MAX {
            charts.push((name, points));
        }
    }
    html! {
        @if !charts.is_empty() {
            section {
                h2 { "Over the versions" }
                div.charts {
                    @for (i, (name, points)) in charts.iter().enumerate() {
                        figure {
                            figcaption { (line(name)) }
                            (chart(i, name, points, evidence.version()))
                        }
                    }
                }
            }
        }
    }
}

/// The chart's size, in its own units: the drawing's box, and the room that the labels take at the left (at least), right, top and
/// bottom.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 110.0;
const LEFT: f64 = 58.0;
/// No digit is wider.
const CHARACTER: f64 = 7.5;
const RIGHT: f64 = 18.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 24.0;

fn chart(index: usize, name: &str, points: &[(u32, f64)], version: u32) -> Markup {
    let low = points.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    let steps = points.len().saturating_sub(1).max(1) as f64;
    let digits = number(high).len().max(number(low).len()) as f64;
    let left = LEFT.max(digits * CHARACTER + 10.0);
    let x = |i: usize| left + (WIDTH - left - RIGHT) * i as f64 / steps;
    // Halves, as the difference of two finite numbers may be infinite. Equal values lie in the middle.
    let span = high / 2.0 - low / 2.0;
    let share = |value: f64| {
        if span > 0.0 {
            (value / 2.0 - low / 2.0) / span
        } else {
            0.5
        }
    };
    let y = |value: f64| TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share(value));
    let coordinates = points
        .iter()
        .enumerate()
        .map(|(i, (_, value))| format!("{:.1},{:.1}", x(i), y(*value)));
    let coordinates = coordinates.collect::<Vec<_>>().join(" ");
    let spoken = points
        .iter()
        .map(|(version, value)| format!("v{version} {}", number(*value)));
    let spoken = format!("{} by version: {}", line(name), spoken.collect::<Vec<_>>().join(", "));
    let label = |value: f64| html! { text x=(left - 8.0) y=(format!("{:.1}", y(value) + 4.0)) text-anchor="end" { (number(value)) } };
    let id = format!("chart-{index}");
    html! {
        svg role="img" aria-labelledby=(id) viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) {
            title id=(id) { (spoken) }
            (label(high))
            @if span > 0.0 { (label(low)) }
            polyline points=(coordinates) {}
            @for (i, (of, value)) in points.iter().enumerate() {
                @let this = *of == version;
                @let mark = this.then_some("this");
                circle class=[mark] cx=(format!("{:.1}", x(i))) cy=(format!("{:.1}", y(*value))) r=(if this { "5" } else { "3" }) {}
                @if this || i == 0 || i + 1 == points.len() {
                    text class=[mark] x=(format!("{:.1}", x(i))) y=(HEIGHT - 6.0) text-anchor="middle" { "v" (of) }
                }
            }
        }
    }
}
