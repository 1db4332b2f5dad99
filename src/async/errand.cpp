// SPDX-License-Identifier: Apache-2.0
#include "velostream/async/errand.hpp"

#include <boost/asio/post.hpp>

namespace velostream {

// Where another thread has the executor, that one posts for both once it has let go of it. Neither can miss the other:
// this one leaves word before it tries, that one lets go before it looks for word.
void Errand::soon() noexcept {
    is_asked_for_ = true; // also where it is on its way: the post may find no memory yet
    const auto post = [this](const asio::any_io_executor& executor) {
        if (!is_asked_for_.exchange(false) || is_posted_.exchange(true)) return;
        try {
            asio::post(executor, [weak = weak_from_this()] {
                const auto self = weak.lock();
                if (!self) return;
                self->is_posted_ = false; // before it begins: what is asked for from now on comes again
                self->work_();
            });
        } catch (...) {
            is_posted_ = false;
        }
    };
    while (is_asked_for_ && tie_.try_with_executor(post)) continue;
}

} // namespace velostream
