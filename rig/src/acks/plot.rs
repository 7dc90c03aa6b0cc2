//! The plot of a comparison, as SVG.

use super::AckRow;
use plotters::prelude::*;
use std::error::Error;

const SIZE: (u32, u32) = (900, 520);
const COLOURS: [(&str, RGBColor); 2] = [("lock", RGBColor(0x1f, 0x5f, 0xa8)), ("atomic", RGBColor(0xc8, 0x55, 0x1b))];

/// Medians with the range from one in ten to nine in ten, over the number of CPUs; both axes are logarithmic.
pub(crate) fn plot(rows: &[AckRow]) -> String {
    let mut svg = String::new();
    draw(&mut svg, rows).expect("drawing into memory does not fail");
    svg
}

fn draw<'a>(svg: &'a mut String, rows: &[AckRow]) -> Result<(), Box<dyn Error + 'a>> {
    let cpus = rows.iter().map(|row| f64::from(row.cpus));
    let (least, most) = (cpus.clone().fold(f64::MAX, f64::min), cpus.fold(1.0, f64::max));
    let lowest = rows.iter().map(|row| row.p10_us).fold(f64::MAX, f64::min).max(0.1);
    let highest = rows.iter().map(|row| row.p90_us).fold(1.0, f64::max);
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption("From the last acknowledgement until all CPUs left the step", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((least * 0.8..most * 1.25).log_scale(), (lowest * 0.7..highest * 1.4).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("CPUs (emulated)")
        .y_desc("µs of guest time, median and 10 % to 90 %")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (ack, colour) in COLOURS {
        let own: Vec<&AckRow> = rows.iter().filter(|row| row.ack == ack).collect();
        let points = own.iter().map(|row| (f64::from(row.cpus), row.p50_us));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
            .label(format!("ack={ack}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], colour.stroke_width(3)));
        chart.draw_series(own.iter().map(|row| {
            let (low, middle, high) = (row.p10_us.max(lowest), row.p50_us, row.p90_us);
            ErrorBar::new_vertical(f64::from(row.cpus), low, middle, high, colour.filled(), 8)
        }))?;
    }
    chart.configure_series_labels().background_style(WHITE).border_style(BLACK).draw()?;
    area.present()?;
    drop(chart);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acks::tests::rows;

    #[test]
    fn both_acknowledgements_are_drawn() {
        let svg = plot(&rows());
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        for part in ["ack=lock", "ack=atomic", "#1F5FA8", "#C8551B", "<polyline"] {
            assert!(svg.contains(part), "no {part}");
        }
    }
}
