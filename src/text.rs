//! Texts across the boundary: one native call in, one out, for what nearly every text is.
#![expect(unsafe_code, reason = "strings are read and made by Node's C functions")]

use std::cell::RefCell;
use std::ffi::c_char;
use std::ptr;

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, TypeName};
use napi::{Error, Result, Status, ValueType, sys};

/// Bytes that are read without asking for the length first.
const SCRATCH: usize = 16 * 1_024;
/// The longest code point in UTF-8, and the NUL behind a text: what may be left unused of a scratch that is full.
const SLACK: usize = 5;

thread_local! {
    static BYTES: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// An argument that may be a text; anything else is none.
pub struct Given(pub Option<String>);

impl TypeName for Given {
    fn type_name() -> &'static str {
        "string | undefined"
    }

    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

/// Reads into `bytes`; the length read, or `None` for what is no text.
fn read(env: sys::napi_env, value: sys::napi_value, bytes: &mut [u8]) -> Option<usize> {
    let mut len = 0;
    // SAFETY: the buffer is as long as it is said to be, and the value is an argument of the call under way.
    let status = unsafe {
        sys::napi_get_value_string_utf8(
            env,
            value,
            bytes.as_mut_ptr().cast::<c_char>(),
            bytes.len(),
            &mut len,
        )
    };
    (status == sys::Status::napi_ok).then_some(len)
}

fn owned(bytes: &[u8]) -> Option<String> {
    // What Node writes is UTF-8: half a surrogate pair becomes U+FFFD.
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

impl FromNapiValue for Given {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        let short = BYTES.with_borrow_mut(|bytes| {
            let len = read(env, value, bytes)?;
            Some((len + SLACK < bytes.len()).then(|| owned(bytes.get(..len)?)).flatten())
        });
        match short {
            None => Ok(Self(None)),
            Some(Some(text)) => Ok(Self(Some(text))),
            // SAFETY: the same value, now known to be a text.
            Some(None) => unsafe { String::from_napi_value(env, value) }.map(|text| Self(Some(text))),
        }
    }
}

/// A text on its way out. One that is ASCII needs no decoding.
pub struct Told(pub String);

impl ToNapiValue for Told {
    unsafe fn to_napi_value(env: sys::napi_env, text: Self) -> Result<sys::napi_value> {
        let Self(text) = text;
        let mut value = ptr::null_mut();
        let (bytes, len) = (text.as_ptr().cast::<c_char>(), text.len().cast_signed());
        // SAFETY: the bytes live until the call returns, which copies them.
        let status = unsafe {
            if text.is_ascii() {
                sys::napi_create_string_latin1(env, bytes, len, &mut value)
            } else {
                sys::napi_create_string_utf8(env, bytes, len, &mut value)
            }
        };
        if status == sys::Status::napi_ok {
            Ok(value)
        } else {
            Err(Error::new(Status::from(status), "a text could not be made"))
        }
    }
}
