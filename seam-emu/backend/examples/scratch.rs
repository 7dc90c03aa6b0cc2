fn main() {
    let file = seam_emu::image::build(&seam_emu::image::ImageSpec::default());
    std::fs::write(std::env::args().nth(1).unwrap(), file).unwrap();
}
