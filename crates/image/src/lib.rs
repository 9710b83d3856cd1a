//! Image trees and one writer per image format.
