// SPDX-License-Identifier: Apache-2.0
#include "core/error_description.hpp"

#include <cxxabi.h>
#include <boost/core/demangle.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <system_error>
#include <typeinfo>
#include <utility>
#include <vector>

#include "core/utf8.hpp"
#include "velostream/core/dead_letter_envelope.hpp"

namespace velostream::detail {

namespace {

struct Link {
    std::string type;
    std::optional<std::string> message;
    std::string code = {}; // `category:value` of what the exception carries, if it carries one

    friend bool operator==(const Link&, const Link&) = default;
};
using Links = std::vector<Link>;

bool is_full(const Links& links) noexcept {
    return links.size() >= dead_letter_limits::chain_links;
}

template <class Code>
std::string name_of(const Code& code) {
    return std::string{code.category().name()} + ':' + std::to_string(code.value());
}

// std::throw_with_nested and boost::throw_exception throw types of their own around the user's: the user's is shown.
std::string name_of(const std::type_info& type) {
    auto name = boost::core::demangle(type.name());
    for (const std::string_view wrapper : {"std::_Nested_exception<", "std::__1::__nested<", "boost::wrapexcept<"})
        if (name.starts_with(wrapper) && name.ends_with('>'))
            return name.substr(wrapper.size(), name.size() - wrapper.size() - 1);
    return name;
}

std::string name_of_current_exception() {
    const auto* type = abi::__cxa_current_exception_type();
    return type ? name_of(*type) : "unknown exception";
}

std::string code_of(const std::exception& exception) {
    if (const auto* carrier = dynamic_cast<const CarriesError*>(&exception)) return name_of(carrier->error().code());
    if (const auto* error = dynamic_cast<const boost::system::system_error*>(&exception)) return name_of(error->code());
    if (const auto* error = dynamic_cast<const std::system_error*>(&exception)) return name_of(error->code());
    return {};
}

void add_errors(Links& links, const Error& error);
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
    } catch (const ErrorException& exception) {
        add_errors(links, exception.error()); // it is nothing beside the error
        add_nested(links, exception);
    } catch (const std::exception& exception) {
        links.push_back({name_of_current_exception(), exception.what(), code_of(exception)});
        const auto* carrier = dynamic_cast<const CarriesError*>(&exception);
        if (const auto* behind = carrier ? carrier->error().inner() : nullptr) add_errors(links, *behind);
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
    const Link own{name_of(error.code()), own_message(error)};
    // An error that only stands for its exception would say everything twice, and so would one that it carries.
    const bool is_carried = !exceptions.empty() && exceptions.front() == own;
    const bool says_more =
        !is_carried && (exceptions.empty() || exceptions.front().message.value_or("") != error.detail());
    if (says_more) links.push_back(own);
    for (auto& exception : exceptions)
        if (!is_full(links)) links.push_back(std::move(exception));
    const auto* behind = error.inner();
    if (behind && !is_carried) add_errors(links, *behind);
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

std::string to_json(const Link& link) {
    constexpr std::size_t most_message = 1024;
    std::string json = R"({"type":)";
    append_json_string(json, cut(link.type, dead_letter_limits::class_name));
    json += R"(,"message":)";
    if (link.message)
        append_json_string(json, cut(*link.message, most_message));
    else
        json += "null";
    if (!link.code.empty()) {
        json += R"(,"code":)";
        append_json_string(json, cut(link.code, dead_letter_limits::class_name));
    }
    return json += '}';
}

// Links that no longer fit are left out whole.
void describe_chain(ErrorDescription& description, const Links& links) {
    auto& json = description.chain = "[";
    bool is_full = false;
    description.chain_size = 1;
    for (const auto& link : links) {
        const auto entry = to_json(link);
        description.chain_size += entry.size() + 1; // with the comma, or the bracket at the end
        is_full = is_full || description.chain_size > dead_letter_limits::chain;
        if (is_full) continue;
        if (json.size() > 1) json += ',';
        json += entry;
    }
    json += ']';
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

std::string cut_chain(std::string_view chain, std::size_t limit) {
    if (chain.size() <= limit) return std::string{chain};
    // Inside of a text every quote has a backslash before it: this is none.
    constexpr std::string_view between_links = R"(},{"type":)";
    if (limit < 2) return {};
    const auto end = chain.rfind(between_links, limit - 2);
    const auto first_end = chain.find(between_links);
    if (end == std::string_view::npos || end == first_end) return {};
    return std::string{chain.substr(0, end + 1)} + ']';
}

ErrorDescription describe(const Error& error) {
    const auto& subject = subject_of(error);
    ErrorDescription description;
    Links links;
    if (error.cause() || error.inner()) add_errors(links, error);
    if (links.size() > 1) describe_chain(description, links);

    Links exceptions;
    if (const auto cause = subject.cause()) {
        add_exceptions(exceptions, cause);
        description.class_name = std::move(exceptions.front().type);
        description.message = std::move(exceptions.front().message);
        if (!description.message && !subject.detail().empty()) description.message = subject.detail();
    } else {
        description.class_name = name_of(subject.code());
        // How long it was tried and what refused another try say nothing about the failure, which is the same without.
        description.message = subject.with_retry_refused_by(std::nullopt).with_elapsed(std::nullopt).message();
    }
    if (exceptions.size() < 2 && subject.inner()) {
        exceptions.resize(1);
        add_errors(exceptions, *subject.inner());
    }
    if (exceptions.size() > 1) description.cause_class_name = std::move(exceptions[1].type);

    const auto bounded = [](std::string text, std::size_t limit) { return cut(valid_utf8(std::move(text)), limit); };
    description.class_name = bounded(std::move(description.class_name), dead_letter_limits::class_name);
    description.cause_class_name = bounded(std::move(description.cause_class_name), dead_letter_limits::class_name);
    if (description.message) {
        description.message_size = description.message->size();
        description.message = bounded(std::move(*description.message), dead_letter_limits::message);
    }
    return description;
}

std::uint64_t fingerprint(std::string_view type, std::string_view class_name, std::string_view message) noexcept {
    Fnv1a hash;
    hash.add(type);
    hash.add(class_name);
    add_template(hash, message);
    return hash.value();
}

} // namespace velostream::detail
