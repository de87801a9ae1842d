//! What all targets have in common.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::Once,
};

/// No input is near that long, so what asks for as much grows without a bound.
const LARGEST_ALLOCATION: usize = 64 << 20;

/// The system's allocator, which ends the process at an allocation that no input justifies.
struct Bounded;

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

// SAFETY: all calls are passed on unchanged.
unsafe impl GlobalAlloc for Bounded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        assert!(layout.size() < LARGEST_ALLOCATION, "an allocation of {} bytes", layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        assert!(size < LARGEST_ALLOCATION, "an allocation of {size} bytes");
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Sets what credentials read of the environment, before there are threads.
pub fn prepare() {
    static PREPARED: Once = Once::new();
    // SAFETY: libFuzzer has one thread, and no target has begun another.
    PREPARED.call_once(|| unsafe { std::env::set_var("SYSTEM_OIDCREQUESTURI", "http://127.0.0.1:9/oidc") });
}

/// Defines the program that feeds a target.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::prepare(), |bytes: &[u8]| _core::fuzz::$name(bytes));
    };
}
