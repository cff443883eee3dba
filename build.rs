fn main() {
    napi_build::setup();
    // A worker that ends unloads the addon before its thread has ended, whose end still calls the allocator: so the addon
    // stays in memory until the process ends.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
