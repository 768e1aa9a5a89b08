//! A line chart: SVG for lines, HTML for words, so that words keep their size at every width.

use maud::{Markup, html};

use super::axis::Axis;

/// Units of the SVG in each direction; it is stretched to the place there is.
const EXTENT: f64 = 1_000.0;

/// One line, or several where values are missing between.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// What the legend calls it.
    pub(super) name: String,
    /// Which of the colours, from 1, and with which of the dashes, from 0.
    pub(super) look: (usize, usize),
    /// x and y; `None` where there is nothing.
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// Whether each point is marked: for few of them.
    pub(super) has_dots: bool,
}

/// A vertical line that words elsewhere refer to.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Where.
    pub(super) x: f64,
    /// What stands at it: short.
    pub(super) label: String,
}

/// A chart and its text.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: &'static str,
    /// What is to be seen, for those who do not see it.
    pub(super) summary: String,
    /// The horizontal axis.
    pub(super) x: Axis,
    /// What it is.
    pub(super) x_name: &'static str,
    /// The vertical axis.
    pub(super) y: Axis,
    /// Its lines.
    pub(super) series: Vec<Series>,
    /// Its marks.
    pub(super) marks: Vec<Mark>,
    /// Its values as a table: columns, rows.
    pub(super) data: (Vec<String>, Vec<Vec<String>>),
}

impl Chart {
    /// Draws it. `id` is its own on the page.
    pub(super) fn draw(&self, id: &str) -> Markup {
        let (x_ticks, y_ticks) = (self.x.ticks(), self.y.ticks());
        let (title_id, summary_id) = (format!("{id}-title"), format!("{id}-summary"));
        html! {
            figure class="chart" {
                figcaption id=(title_id) { (self.title) }
                ul class="legend" aria-hidden="true" {
                    @for series in &self.series {
                        li {
                            svg viewBox="0 0 24 8" width="24" height="8" {
                                line class=(series.class()) x1="1" y1="4" x2="23" y2="4" {}
                            }
                            (series.name)
                        }
                    }
                }
                div class="plot" {
                    div class="y" aria-hidden="true" {
                        @for tick in &y_ticks {
                            span style=(format!("bottom:{:.2}%", 100.0 * tick.at)) { (tick.label) }
                        }
                    }
                    svg class="area" role="img" aria-labelledby=(title_id)
                        aria-describedby=(summary_id) preserveAspectRatio="none"
                        viewBox=(format!("0 0 {EXTENT} {EXTENT}")) {
                        (self.lines(&x_ticks.iter().map(|tick| tick.at).collect::<Vec<_>>(),
                            &y_ticks.iter().map(|tick| tick.at).collect::<Vec<_>>()))
                    }
                    div class="marks" aria-hidden="true" {
                        @for (at, label) in self.mark_labels() {
                            span style=(format!("left:{:.2}%", 100.0 * at)) { (label) }
                        }
                    }
                    div class="x" aria-hidden="true" {
                        @for (number, tick) in x_ticks.iter().enumerate() {
                            span class=[(number % 2 == 1).then_some("odd")]
                                style=(format!("left:{:.2}%", 100.0 * tick.at)) { (tick.label) }
                        }
                    }
                }
                p class="x-name" aria-hidden="true" { (self.x_name) }
                p class="summary" id=(summary_id) { (self.summary) }
                details {
                    summary { "Values of “" (self.title) "”" }
                    (values(self.title, &self.data.0, &self.data.1))
                }
            }
        }
    }

    fn lines(&self, x_ticks: &[f64], y_ticks: &[f64]) -> Markup {
        let place = |at: f64| format!("{:.1}", EXTENT * at);
        html! {
            g class="grid" {
                @for at in x_ticks {
                    line x1=(place(*at)) y1="0" x2=(place(*at)) y2=(EXTENT) {}
                }
                @for at in y_ticks {
                    line x1="0" y1=(place(1.0 - at)) x2=(EXTENT) y2=(place(1.0 - at)) {}
                }
            }
            @for mark in &self.marks {
                @let at = place(self.x.at(mark.x));
                line class="mark" x1=(at) y1="0" x2=(at) y2=(EXTENT) {}
            }
            @for series in &self.series {
                path class=(series.class()) d=(self.path(series)) {}
                @if series.has_dots {
                    path class=(format!("dots {}", series.class())) d=(self.dots(series)) {}
                }
            }
        }
    }

    fn place(&self, x: f64, y: f64) -> String {
        format!("{:.1} {:.1}", EXTENT * self.x.at(x), EXTENT * (1.0 - self.y.at(y)))
    }

    /// A stretch of values is a line; one alone is a line of no length, which round caps show.
    fn path(&self, series: &Series) -> String {
        let mut path = String::new();
        let mut is_begun = false;
        let mut is_alone = false;
        for (x, y) in &series.points {
            let Some(y) = y else {
                path += if is_alone { "h0" } else { "" };
                (is_begun, is_alone) = (false, false);
                continue;
            };
            path += if is_begun { "L" } else { "M" };
            path += &self.place(*x, *y);
            (is_begun, is_alone) = (true, !is_begun);
        }
        path + if is_alone { "h0" } else { "" }
    }

    fn dots(&self, series: &Series) -> String {
        let points = series.points.iter().filter_map(|(x, y)| Some((*x, (*y)?)));
        points.map(|(x, y)| format!("M{}h0", self.place(x, y))).collect()
    }

    /// Labels of marks, those that would overlap together.
    fn mark_labels(&self) -> Vec<(f64, String)> {
        let mut labels: Vec<(f64, String)> = Vec::new();
        for mark in &self.marks {
            let at = self.x.at(mark.x);
            match labels.last_mut() {
                Some((before, label)) if at - *before < 0.04 => {
                    label.push_str(", ");
                    label.push_str(&mark.label);
                }
                _ => labels.push((at, mark.label.clone())),
            }
        }
        labels
    }
}

impl Series {
    fn class(&self) -> String {
        format!("line c{} d{}", self.look.0, self.look.1)
    }
}

/// A table of values: the first column names the row.
fn values(title: &str, columns: &[String], rows: &[Vec<String>]) -> Markup {
    html! {
        div class="wide" tabindex="0" role="region" aria-label=(title) {
            table {
                thead { tr { @for column in columns { th scope="col" class="number" { (column) } } } }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 { th scope="row" class="number" { (cell) } }
                                @else { td class="number" { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::axis::Unit, *};

    fn chart(points: Vec<(f64, Option<f64>)>) -> Chart {
        Chart {
            title: "a & b",
            summary: "nothing to <see>".to_owned(),
            x: Axis::exact(0.0, 10.0, Unit::Seconds),
            x_name: "time",
            y: Axis::linear(10.0, Unit::Amount),
            series: vec![Series { name: "<b>".to_owned(), look: (2, 1), points, has_dots: false }],
            marks: [2.0, 2.1, 8.0].map(|x| Mark { x, label: x.to_string() }).into(),
            data: (vec!["x".to_owned()], vec![vec!["<1>".to_owned()]]),
        }
    }

    #[test]
    fn lines_break_where_values_are_missing_and_one_value_is_a_dot() {
        let chart = chart(vec![
            (0.0, Some(0.0)),
            (1.0, Some(5.0)),
            (2.0, None),
            (3.0, Some(10.0)),
            (4.0, None),
            (5.0, None),
            (10.0, Some(99.0)),
        ]);
        assert_eq!(
            chart.path(&chart.series[0]),
            "M0.0 1000.0L100.0 500.0M300.0 0.0h0M1000.0 0.0h0"
        );
        assert_eq!(chart.dots(&chart.series[0]).matches("h0").count(), 4);
    }

    #[test]
    fn all_words_are_escaped_and_the_picture_has_a_text() {
        let text = chart(vec![(1.0, Some(1.0))]).draw("first").into_string();
        assert!(text.contains("a &amp; b") && text.contains("nothing to &lt;see&gt;"), "{text}");
        assert!(text.contains("&lt;b&gt;") && !text.contains("<b>") && !text.contains("<1>"));
        assert!(text.contains(
            r#"role="img" aria-labelledby="first-title" aria-describedby="first-summary""#
        ));
        assert!(text.contains(r#"<figcaption id="first-title">"#));
    }

    #[test]
    fn labels_of_marks_that_would_overlap_stand_together() {
        let labels = chart(Vec::new()).mark_labels();
        let labels: Vec<_> = labels.iter().map(|(_, label)| label.as_str()).collect();
        assert_eq!(labels, ["2, 2.1", "8"]);
    }
}
