// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/http_status.hpp"

#include <string>

namespace velostream {

namespace {

class HttpStatusCategory final : public boost::system::error_category {
  public:
    const char* name() const noexcept override { return "velostream.http_status"; }
    std::string message(int status) const override { return "HTTP status " + std::to_string(status); }
    // A code says itself whether it is a failure: this one is only made of answers that somebody takes for one.
    bool failed(int) const noexcept override { return true; }
    boost::system::error_condition default_error_condition(int status) const noexcept override {
        return make_error_condition(error_type_of_http_status(status));
    }
};

} // namespace

ErrorType error_type_of_http_status(int status) noexcept {
    switch (status) {
        case 401:
        case 407:
        case 511:
            return ErrorType::authentication;
        case 402:
        case 403:
        case 451:
            return ErrorType::authorization;
        case 408:
        case 504:
            return ErrorType::timeout;
        case 421:
            return ErrorType::network;
        case 423:
        case 425:
            return ErrorType::service_unavailable;
        case 429:
        case 509:
            return ErrorType::resource_exhausted;
        case 501:
        case 505:
        case 506:
        case 510:
            return ErrorType::bad_request;
        default:
            break;
    }
    if (status >= 400 && status <= 499) return ErrorType::bad_request;
    if (status >= 500 && status <= 599) return ErrorType::service_unavailable;
    return ErrorType::unknown;
}

const boost::system::error_category& http_status_category() noexcept {
    static const HttpStatusCategory category;
    return category;
}

boost::system::error_code http_status_code(int status) noexcept {
    return {status, http_status_category()};
}

} // namespace velostream
