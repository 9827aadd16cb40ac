//! What must not happen, tried in every order two threads can run (`server/core/loom.sh`).

mod loom_bucket;
mod loom_slab;
