//! Which request is being worked for.
//!
//! What goes on behind an answer must be told to the request that began it (`waitUntil`), and no other: so
//! each piece of work knows its request whenever it goes on.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Waking, Poll};

use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::glue::Context;
use crate::platform::Time;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// A request, for the work that belongs to it.
#[derive(Clone)]
pub(crate) struct Scope(Rc<Context>);

impl Scope {
    pub(crate) fn new(context: Context) -> Self {
        Self(Rc::new(context))
    }

    /// That of the work that is going on.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Does something for this request.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let time = Time::Standing.replace();
        let _entered = Entered(CURRENT.replace(Some(self.clone())), time);
        work()
    }

    /// Work that knows that it is for this request.
    pub(crate) fn scoped<F: Future>(self, work: F) -> Scoped<F> {
        Scoped {
            scope: self,
            work: Box::pin(work),
        }
    }

    /// Lets work go on behind the answer.
    pub(crate) fn behind(&self, work: impl Future<Output = ()> + 'static) {
        let work = self.clone().scoped(work);
        let promise = future_to_promise(async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        });
        // A request that has ended already waits for nothing.
        let _ = self.0.wait_until(&promise);
    }
}

struct Entered(Option<Scope>, Time);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.replace(self.0.take());
        self.1.replace();
    }
}

/// See [`Scope::scoped`].
pub(crate) struct Scoped<F> {
    scope: Scope,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Scoped<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, waking: &mut Waking<'_>) -> Poll<F::Output> {
        let scope = self.scope.clone();
        scope.within(|| self.work.as_mut().poll(waking))
    }
}
