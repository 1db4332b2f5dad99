// SPDX-License-Identifier: Apache-2.0
// The input is a spool file behind its header, and once more a payload by itself: no fuzzer finds a checksum.
#include <string>
#include <string_view>

#include "fuzz/fuzzing.hpp"
#include "velostream/core/spool_frame.hpp"

namespace velostream::fuzz {
namespace {

void read_payload(std::string_view payload) {
    const auto record = SpooledRecord::decoded(payload);
    if (!record) return;
    const auto again = SpooledRecord::encoded(record->record());
    require(again.size() == payload.size(), "a record has the size that it was read from");
    // Without a timestamp its bytes say nothing: they may be any.
    require(again == payload || !record->record().timestamp, "a record is written as it was read");
    const auto same = SpooledRecord::decoded(again);
    require(same && SpooledRecord::encoded(same->record()) == again, "what is written is read as it was");
}

void read_file(std::string_view file) {
    while (true) {
        const auto at = spool_format::find_frame(file);
        require(at <= file.size(), "a frame is inside of the file");
        if (at == file.size()) return;
        file.remove_prefix(at);
        const auto frame = spool_format::read_frame(file);
        require(frame.has_value(), "a frame that was found can be read");
        require(frame->size() <= file.size(), "it is inside of the file");
        require(spool_format::frame_size(file) == frame->size(), "it has the size that its beginning says");
        std::string again;
        spool_format::append_frame(again, frame->sequence, frame->payload);
        require(again == file.substr(0, frame->size()), "it is written as it was read");
        read_payload(frame->payload);
        file.remove_prefix(frame->size());
    }
}

} // namespace
} // namespace velostream::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto input = velostream::fuzz::bytes_of(data, size);
    velostream::fuzz::read_file(input);
    velostream::fuzz::read_payload(input);
    return 0;
}
