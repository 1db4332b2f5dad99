// SPDX-License-Identifier: Apache-2.0
#include "core/error_description.hpp"

#include <cxxabi.h>
#include <boost/core/demangle.hpp>
#include <exception>
#include <typeinfo>
#include <utility>
#include <vector>

#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream::detail {

namespace {

struct Link {
    std::string type;
    std::optional<std::string> message;
};
using Links = std::vector<Link>;

bool is_full(const Links& links) noexcept {
    return links.size() >= dead_letter_limits::chain_links;
}

std::string name_of(const boost::system::error_code& code) {
    return std::string{code.category().name()} + ':' + std::to_string(code.value());
}

// std::throw_with_nested throws a type of the library's own around the user's: the user's is shown.
std::string name_of(const std::type_info& type) {
    auto name = boost::core::demangle(type.name());
    for (const std::string_view wrapper : {"std::_Nested_exception<", "std::__1::__nested<"})
        if (name.starts_with(wrapper) && name.ends_with('>'))
            return name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
    return name;
}

std::string name_of_current_exception() {
    const auto* type = abi::__cxa_current_exception_type();
    return type ? name_of(*type) : "unknown exception";
}

void add_exceptions(Links& links, const std::exception_ptr& thrown);

template <class Exception>
void add_nested(Links& links, const Exception& exception) {
    const auto* outer = dynamic_cast<const std::nested_exception*>(&exception);
    if (outer && outer->nested_ptr()) add_exceptions(links, outer->nested_ptr());
}

void add_exceptions(Links& links, const std::exception_ptr& thrown) {
    if (is_full(links)) return;
    try {
        std::rethrow_exception(thrown);
    } catch (const std::exception& exception) {
        links.push_back({name_of_current_exception(), exception.what()});
        add_nested(links, exception);
    } catch (const std::nested_exception& exception) {
        links.push_back({name_of_current_exception(), std::nullopt});
        add_nested(links, exception);
    } catch (...) {
        links.push_back({name_of_current_exception(), std::nullopt});
    }
}

std::string own_message(const Error& error) {
    auto text = error.code().message();
    if (!error.detail().empty()) text.append(": ").append(error.detail());
    return text;
}

void add_errors(Links& links, const Error& error) {
    if (is_full(links)) return;
    Links exceptions;
    if (const auto cause = error.cause()) add_exceptions(exceptions, cause);
    // An error that only stands for its exception would say everything twice.
    const bool says_more = exceptions.empty() || exceptions.front().message.value_or("") != error.detail();
    if (says_more) links.push_back({name_of(error.code()), own_message(error)});
    for (auto& exception : exceptions)
        if (!is_full(links)) links.push_back(std::move(exception));
    if (const auto* behind = error.inner()) add_errors(links, *behind);
}

// The length of the well-formed UTF-8 character at the start of `text`; 0 if there is none.
std::size_t utf8_length(std::string_view text) noexcept {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto continues = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
        return i < text.size() && byte(i) >= low && byte(i) <= high;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;  // no longer form than needed
        const unsigned high = lead == 0xED ? 0x9F : 0xBF; // no half of a surrogate pair
        return continues(1, low, high) && continues(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
        return continues(1, low, high) && continues(2) && continues(3) ? 4 : 0;
    }
    return 0;
}

// Messages may quote bytes of a record that are no text: those become U+FFFD, so that the JSON stays JSON.
void append_json_string(std::string& json, std::string_view text) {
    json += '"';
    while (!text.empty()) {
        const auto length = utf8_length(text);
        const auto byte = static_cast<unsigned char>(text.front());
        if (length == 0) {
            json += "\\ufffd";
        } else if (byte == '"' || byte == '\\') {
            json += '\\';
            json += text.front();
        } else if (byte < 0x20) {
            constexpr char digits[] = "0123456789abcdef";
            json += "\\u00";
            json += digits[byte >> 4];
            json += digits[byte & 0xF];
        } else {
            json += text.substr(0, length);
        }
        text.remove_prefix(length == 0 ? 1 : length);
    }
    json += '"';
}

// Links that no longer fit are left out whole.
std::string to_json(const Links& links) {
    constexpr std::size_t most_message = 1024;
    std::string json = "[";
    for (const auto& [type, message] : links) {
        std::string entry = json.size() > 1 ? "," : "";
        entry += R"({"type":)";
        append_json_string(entry, cut(type, dead_letter_limits::class_name));
        entry += R"(,"message":)";
        if (message)
            append_json_string(entry, cut(*message, most_message));
        else
            entry += "null";
        entry += '}';
        if (json.size() + entry.size() + 1 > dead_letter_limits::chain) break;
        json += entry;
    }
    return json + ']';
}

const Error& subject_of(const Error& error) noexcept {
    const auto* subject = &error;
    while (*subject == Errc::retries_exhausted && subject->inner()) subject = subject->inner();
    return *subject;
}

class Fnv1a {
  public:
    void add(unsigned char byte) noexcept { hash_ = (hash_ ^ byte) * 1099511628211u; }
    void add(std::string_view text) noexcept {
        for (const auto c : text) add(static_cast<unsigned char>(c));
        add(static_cast<unsigned char>(0xFF)); // ends the text: "ab","c" differs from "a","bc"
    }
    std::uint64_t value() const noexcept { return hash_; }

  private:
    std::uint64_t hash_ = 14695981039346656037u;
};

// Adds the message with every number as `#` and every part in quotes as `?`.
void add_template(Fnv1a& hash, std::string_view message) noexcept {
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    for (std::size_t i = 0; i < message.size(); ++i) {
        const auto c = message[i];
        if (is_digit(c)) {
            while (i + 1 < message.size() && is_digit(message[i + 1])) ++i;
            hash.add(static_cast<unsigned char>('#'));
            continue;
        }
        const auto close = c == '"' || c == '\'' || c == '`' ? message.find(c, i + 1) : std::string_view::npos;
        if (close != std::string_view::npos) {
            i = close;
            hash.add(static_cast<unsigned char>('?'));
            continue;
        }
        hash.add(static_cast<unsigned char>(c));
    }
}

} // namespace

std::string cut(std::string text, std::size_t limit) {
    constexpr std::string_view mark = "...";
    if (text.size() <= limit) return text;
    auto end = limit - mark.size();
    const auto is_inside_character = [&](std::size_t i) {
        return (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
    };
    for (int back = 0; back < 3 && end > 0 && is_inside_character(end); ++back) --end;
    text.resize(end);
    return text.append(mark);
}

ErrorDescription describe(const Error& error) {
    const auto& subject = subject_of(error);
    ErrorDescription description;
    Links links;
    if (error.cause() || error.inner()) add_errors(links, error);
    if (links.size() > 1) description.chain = to_json(links);

    if (const auto cause = subject.cause()) {
        Links exceptions;
        add_exceptions(exceptions, cause);
        description.class_name = std::move(exceptions.front().type);
        description.message = std::move(exceptions.front().message);
        if (!description.message && !subject.detail().empty()) description.message = subject.detail();
    } else {
        description.class_name = name_of(subject.code());
        description.message = subject.message();
    }
    description.class_name = cut(std::move(description.class_name), dead_letter_limits::class_name);
    if (description.message) description.message = cut(std::move(*description.message), dead_letter_limits::message);
    return description;
}

std::uint64_t fingerprint(const Error& error, const ErrorDescription& description) noexcept {
    Fnv1a hash;
    hash.add(to_string(error.type()));
    hash.add(description.class_name);
    add_template(hash, description.message ? std::string_view{*description.message} : std::string_view{});
    return hash.value();
}

} // namespace velostream::detail
