// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// The order lines of the main job, read as cheaply as plain code can.
namespace velostream::bare {

/// The first line of an input.
inline constexpr std::string_view header_line =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

/// Cuts a CSV file (packed with zstd or not) into lines. A quoted field may hold line ends.
class LineFile {
  public:
    /// Throws `std::runtime_error` if the file cannot be read or its first line is not that of order lines.
    explicit LineFile(const std::string& path);
    ~LineFile();
    LineFile(const LineFile&) = delete;
    LineFile& operator=(const LineFile&) = delete;

    /// The next line without its end; false when none is left. The view is valid until the next call.
    bool next(std::string_view& line);

  private:
    struct Unpacker;

    bool read_more(); // false at the end of the file

    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
    std::unique_ptr<Unpacker> unpacker_; // null for a plain file
    std::vector<char> buffer_;
    std::size_t begin_ = 0; // of the next line
    std::size_t end_ = 0;   // of what was read
};

/// What keeps a line from being an order: its first bad column.
enum class Fault { none, line, customer_id, quantity, unit_price };

struct Order {
    std::string_view customer;    ///< looks into the line, or into this thread's scratch text
    std::int64_t thousandths = 0; ///< quantity times unit price
    Fault fault = Fault::none;
    std::string_view faulty_value; ///< what stands in the bad column
    std::size_t fields = 0;
};

/// Valid until the next call of this thread, and while `line` lives.
Order parse_order(std::string_view line);

/// The customer of a line, empty if there is none. Valid as for `parse_order`.
std::string_view customer_of(std::string_view line);

/// An amount of thousandths as text: at least two decimals, a third where it is not zero. Returns the end of what it
/// wrote, at most 32 characters.
char* write_amount(char* at, std::int64_t thousandths);

} // namespace velostream::bare
