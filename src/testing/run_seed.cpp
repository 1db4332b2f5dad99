// SPDX-License-Identifier: Apache-2.0
#include "velostream/testing/run_seed.hpp"

#include <charconv>
#include <cstdlib>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>

#include "velostream/core/backoff_random.hpp"

namespace velostream::testing {

RunSeed RunSeed::from_environment(std::uint64_t otherwise) {
    const char* const set = std::getenv(variable); // NOLINT(concurrency-mt-unsafe): nobody sets it meanwhile
    if (!set) return RunSeed{otherwise};
    const std::string_view text{set};
    if (text == "random") {
        std::random_device device;
        return RunSeed{std::uint64_t{device()} << 32 | device()};
    }
    std::uint64_t value = 0;
    const auto* const end = text.data() + text.size();
    const auto [parsed, problem] = std::from_chars(text.data(), end, value);
    if (problem != std::errc{} || parsed != end)
        throw std::invalid_argument{std::string{variable} + " = " + set + ": must be a number or random"};
    return RunSeed{value};
}

std::uint64_t RunSeed::of(std::string_view name) const noexcept {
    auto mixed = BackoffRandom{value_}.next();
    for (const char character : name) mixed = BackoffRandom{mixed ^ static_cast<unsigned char>(character)}.next();
    return mixed;
}

std::ostream& operator<<(std::ostream& out, RunSeed seed) {
    return out << "seed " << seed.value() << " (to repeat: " << RunSeed::variable << '=' << seed.value() << ')';
}

} // namespace velostream::testing
