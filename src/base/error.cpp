// SPDX-License-Identifier: Apache-2.0
#include "velostream/base/error.hpp"

#include <boost/system/system_error.hpp>
#include <chrono>
#include <new>
#include <ostream>

#include "velostream/base/throw_places.hpp"

namespace velostream {

namespace {

// std's two errno categories become Boost's, so that one table classifies both.
boost::system::error_code boosted(const std::error_code& code) noexcept {
    if (code.category() == std::generic_category()) return {code.value(), boost::system::generic_category()};
    if (code.category() == std::system_category()) return {code.value(), boost::system::system_category()};
    return code;
}

// `310 ms`, `4.7 s`, `3 min 20 s`, `2 h 5 min`; digits that are left out are cut off.
std::string readable(Duration time) {
    using namespace std::chrono;
    const auto number = [](auto unit) { return std::to_string(unit.count()); };
    if (time < milliseconds{1}) return "under 1 ms";
    if (time < seconds{1}) return number(duration_cast<milliseconds>(time)) + " ms";
    const auto whole_minutes = duration_cast<minutes>(time);
    const auto whole_seconds = duration_cast<seconds>(time);
    if (time < minutes{1}) {
        const auto tenths = duration_cast<milliseconds>(time - whole_seconds) / 100;
        return number(whole_seconds) + '.' + number(tenths) + " s";
    }
    if (time < hours{1}) return number(whole_minutes) + " min " + number(whole_seconds - whole_minutes) + " s";
    const auto whole_hours = duration_cast<hours>(time);
    return number(whole_hours) + " h " + number(whole_minutes - whole_hours) + " min";
}

// Without memory for them the error does without its text and its cause.
Error described(const Error& error, const char* text, const std::exception_ptr& cause) noexcept {
    try {
        return (text ? error.with_detail(text) : error).with_cause(cause);
    } catch (const std::bad_alloc&) {
        return error;
    }
}

} // namespace

Error::Error(const std::error_code& code) noexcept : code_(boosted(code)) {}

Error Error::from_exception(std::exception_ptr exception) noexcept {
    if (!exception) return Errc::operation_failed;
    auto error = from_thrown(exception);
    if (auto place = detail::throw_place_of(exception); !place.empty()) {
        try {
            if (error.thrown_at().empty()) error = error.with_thrown_at(std::move(place));
        } catch (const std::bad_alloc&) { // without its place, then
        }
    }
    return error;
}

Error Error::from_thrown(const std::exception_ptr& exception) noexcept {
    try {
        std::rethrow_exception(exception);
    } catch (const CarriesError& thrown) {
        // What std::throw_with_nested put behind it is nowhere else.
        const auto* outer = dynamic_cast<const std::nested_exception*>(&thrown);
        const bool hides_another = outer && outer->nested_ptr() && !thrown.error().cause();
        return hides_another ? described(thrown.error(), nullptr, exception) : thrown.error();
    } catch (const boost::system::system_error& thrown) {
        return described(thrown.code(), thrown.what(), exception);
    } catch (const std::system_error& thrown) {
        return described(thrown.code(), thrown.what(), exception);
    } catch (const std::bad_alloc&) {
        return make_error_code(boost::system::errc::not_enough_memory); // a detail or a cause would allocate
    } catch (const std::exception& thrown) {
        return described(Errc::operation_failed, thrown.what(), exception);
    } catch (...) {
        return described(Errc::operation_failed, nullptr, exception);
    }
}

template <class Change>
Error Error::changed(Change change) const {
    auto info = info_ ? std::make_shared<Info>(*info_) : std::make_shared<Info>();
    change(*info);
    auto result = *this;
    result.info_ = std::move(info);
    return result;
}

void Error::add_detail(std::string detail) {
    *this = with_detail(std::move(detail));
}

Error Error::with_detail(std::string detail) const& {
    return changed([&](Info& info) { info.detail = std::move(detail); });
}

Error Error::with_cause(std::exception_ptr cause) const {
    return changed([&](Info& info) { info.cause = std::move(cause); });
}

Error Error::with_thrown_at(StackTrace trace) const {
    return changed([&](Info& info) { info.thrown_at = std::move(trace); });
}

Error Error::with_inner(Error inner) const {
    return changed([&](Info& info) { info.inner = std::make_shared<const Error>(std::move(inner)); });
}

Error Error::blaming_record(bool blames) const {
    return changed([&](Info& info) { info.blames_record = blames; });
}

ErrorType Error::type() const noexcept {
    if (code_ == Errc::retries_exhausted && inner()) return inner()->type();
    return classify(code_);
}

StackTrace Error::thrown_at() const noexcept {
    if (code_ == Errc::retries_exhausted && inner()) return inner()->thrown_at();
    return info_ ? info_->thrown_at : StackTrace{};
}

bool Error::has_unknown_outcome() const noexcept {
    const auto* error = this;
    while (error && classify(error->code_) != ErrorType::outcome_unknown) error = error->inner();
    return error != nullptr;
}

bool Error::blames_record() const noexcept {
    if (info_ && info_->blames_record) return *info_->blames_record;
    if (code_ == Errc::retries_exhausted && inner()) return inner()->blames_record();
    if (code_ == Errc::group_refused) return true;
    if (code_ == Errc::record_not_to_blame) return false;
    const auto type = classify(code_);
    return type == ErrorType::bad_request || type == ErrorType::unknown;
}

bool Error::passes_with_time() const noexcept {
    if (blames_record()) return false;
    switch (type()) {
        case ErrorType::timeout: // of what may have happened before it was cut off
            return !has_unknown_outcome();
        case ErrorType::network:
        case ErrorType::service_unavailable:
        case ErrorType::resource_exhausted:
            return true;
        default:
            return false;
    }
}

bool Error::passes_with_repetition() const noexcept {
    const bool may_have_happened = type() == ErrorType::timeout || type() == ErrorType::outcome_unknown;
    return passes_with_time() || (may_have_happened && !blames_record());
}

std::string Error::message() const {
    auto text = code_.message();
    if (!detail().empty()) text.append(": ").append(detail());
    if (const auto* behind = inner()) text.append(" (").append(behind->message()).append(")");
    if (const auto took = elapsed()) {
        text.append("; ");
        if (attempts_ > 0) text.append(std::to_string(attempts_)).append(attempts_ == 1 ? " try in " : " tries in ");
        if (elapsed_longer()) text.append("more than ");
        text.append(readable(*took));
    }
    if (retry_refused_by_ != Errc{})
        text.append("; not tried again: ").append(make_error_code(retry_refused_by_).message());
    return text;
}

Error::SharedText::SharedText(std::string detail) {
    auto info = std::make_shared<Info>();
    info->detail = std::move(detail);
    info_ = std::move(info);
}

std::ostream& operator<<(std::ostream& out, const Error& error) {
    return out << error.message();
}
std::ostream& operator<<(std::ostream& out, ErrorType type) {
    return out << to_string(type);
}

ErrorException::ErrorException(Error error)
    : std::system_error(static_cast<std::error_code>(error.code()), error.message()), error_(std::move(error)) {}

void throw_exception_from_error(const Error& error, const boost::source_location&) {
    const auto* subject = &error;
    while (*subject == Errc::retries_exhausted && !subject->cause() && subject->inner()) subject = subject->inner();
    if (const auto cause = subject->cause()) std::rethrow_exception(cause);
    throw ErrorException(error);
}

} // namespace velostream
