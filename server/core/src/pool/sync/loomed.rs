//! loom's atomics, with every access taken for a change when it decides which orders to try.
//!
//! Of each atomic, loom remembers its last access alone, and a load does not conflict with a load. So where one thread only
//! reads a word, and another first reads and then changes it, as every compare-and-swap loop does, the second thread's read
//! hides the first one's from the change, and loom never tries the two the other way round (its issues 166 and 392). A change of a shadow before
//! each access makes all accesses conflict; what a load may return is not touched by that.

use loom::sync::atomic;

use super::Ordering;

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[derive(Debug)]
        pub(in crate::pool) struct $name {
            word: atomic::$name,
            shadow: atomic::AtomicBool,
        }

        #[allow(dead_code, reason = "what std has; not all of it is in use for every type")]
        impl $name {
            pub(in crate::pool) fn new(value: $value) -> Self {
                Self { word: atomic::$name::new(value), shadow: atomic::AtomicBool::new(false) }
            }

            fn touched(&self) -> &atomic::$name {
                self.shadow.store(true, Ordering::Relaxed);
                &self.word
            }

            pub(in crate::pool) fn load(&self, order: Ordering) -> $value {
                self.touched().load(order)
            }

            pub(in crate::pool) fn store(&self, value: $value, order: Ordering) {
                self.touched().store(value, order);
            }

            pub(in crate::pool) fn compare_exchange(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.touched().compare_exchange(from, to, success, failure)
            }

            pub(in crate::pool) fn compare_exchange_weak(
                &self,
                from: $value,
                to: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.touched().compare_exchange_weak(from, to, success, failure)
            }

            pub(in crate::pool) fn fetch_update(
                &self,
                success: Ordering,
                failure: Ordering,
                change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                self.touched().fetch_update(success, failure, change)
            }
        }
    };
}

macro_rules! fetching {
    ($name:ident, $value:ty: $($fetch:ident)+) => {
        #[allow(dead_code, reason = "what std has; not all of it is in use for every type")]
        impl $name {
            $(pub(in crate::pool) fn $fetch(&self, value: $value, order: Ordering) -> $value {
                self.touched().$fetch(value, order)
            })+
        }
    };
}

atomic!(AtomicI64, i64);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
fetching!(AtomicI64, i64: swap fetch_add fetch_sub fetch_min fetch_max);
fetching!(AtomicU32, u32: swap fetch_add fetch_sub fetch_min fetch_max fetch_or fetch_and);
fetching!(AtomicU64, u64: swap fetch_add fetch_sub fetch_min fetch_max fetch_or fetch_and);
