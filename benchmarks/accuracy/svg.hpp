// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace velostream::bench {

/// A drawing, as the text of an SVG file. Lengths are pixels, from the upper left.
class Svg {
  public:
    Svg(double width, double height);

    void rectangle(double x, double y, double width, double height, std::string_view colour);
    void line(double x1, double y1, double x2, double y2, std::string_view colour, bool is_dashed = false);
    void dot(double x, double y, std::string_view colour);

    enum class Anchor { start, middle, end };
    void text(double x, double y, std::string_view words, Anchor anchor = Anchor::start, bool is_bold = false);

    std::string finished() const { return text_ + "</svg>\n"; }

  private:
    std::string text_;
};

} // namespace velostream::bench
